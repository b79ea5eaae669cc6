"""Joint spaces: where what is seen and what is heard of one event meet. One file a method.

Correlation (`plait.multiview.cca`, `plait.multiview.kernel_cca`, both without torch, and `plait.multiview.deep_cca`);
and the losses of pre-training without labels (`plait.multiview.contrastive`, `plait.multiview.masked`).
"""
