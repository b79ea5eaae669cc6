"""Joint spaces, in which several views of the same item lie together. One file per method.

Correlation (`plait.multiview.cca`, `plait.multiview.kernel_cca`, both without torch, and `plait.multiview.deep_cca`);
and the losses of pre-training without labels (`plait.multiview.contrastive`, `plait.multiview.masked`).
"""
