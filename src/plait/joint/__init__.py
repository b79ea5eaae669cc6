"""Joint spaces: where what is seen and what is heard of one event meet. One file a method.

Correlation (`plait.joint.cca`, `plait.joint.kernel_cca`, both without torch, and `plait.joint.deep_cca`); and the
losses of pre-training without labels (`plait.joint.contrastive`, `plait.joint.masked`).
"""
