"""Where clearprop may differ from PyTorch in `test_every_op_against_torch.py`, and why. A row is a
change (see `CHANGES` there) and the ops that differ under it.
"""

# At inf and nan clearprop has the limit, or the gradient of the formula; PyTorch's kernels give
# nan, or stop a nan, or differ between their vectorised and their plain loops.
LIMITS = {
    "ugly": """
        special.i1 special.i1e special.log_ndtr F.hardshrink F.hardswish F.softshrink
        digamma special.digamma special.psi logit special.logit copysign special.zeta prod
        var amax amin special.polygamma polygamma div clamp clamp_min std_mean var_mean
        aminmax norm cumprod logcumsumexp trapezoid trapz softmax histogram index_fill
        scatter_reduce cdist pdist slogdet matrix_power orgqr linalg.cholesky_ex linalg.cond
        linalg.eigh linalg.householder_product linalg.lstsq linalg.matrix_norm linalg.norm
        linalg.qr linalg.slogdet conv2d conv3d conv_transpose3d
        F.binary_cross_entropy_with_logits F.conv2d F.conv_transpose3d F.huber_loss F.kl_div
        F.log_softmax F.multi_margin_loss F.multilabel_margin_loss F.nll_loss
        F.poisson_nll_loss F.smooth_l1_loss F.soft_margin_loss F.softmax Tensor.polygamma
        Tensor.polygamma_
    """,
}
# Clearprop computes where PyTorch refuses types, sizes, or gradients for an argument.
COMPUTED = {
    "bool": """
        F.hardtanh F.relu6 argmax argmin topk addr linalg.vander F.embedding_bag
    """,
    "0-d": """
        argmax argmin F.binary_cross_entropy F.multilabel_soft_margin_loss
        F.soft_margin_loss
    """,
    "other type 0": """
        lerp cartesian_prod meshgrid F.hinge_embedding_loss F.huber_loss F.kl_div
        F.multi_head_attention_forward F.prelu F.soft_margin_loss Tensor.map_
    """,
    "other type 1": """
        lerp histogram cartesian_prod meshgrid F.binary_cross_entropy_with_logits
        F.cross_entropy F.kl_div F.linear F.nll_loss F.prelu Tensor.map_
    """,
    "empty": """
        histogram index_reduce linalg.vander F.binary_cross_entropy
        F.multi_head_attention_forward F.soft_margin_loss
    """,
    "one": """
        histogram index_reduce addmm linalg.vander F.binary_cross_entropy
        F.binary_cross_entropy_with_logits F.soft_margin_loss
    """,
    "last one": """
        histogram linalg.vander F.binary_cross_entropy F.binary_cross_entropy_with_logits
        F.soft_margin_loss
    """,
    "transposed": """
        take_along_dim F.binary_cross_entropy F.binary_cross_entropy_with_logits
        F.soft_margin_loss
    """,
    "int64": """
        addr F.embedding_bag F.gaussian_nll_loss F.hinge_embedding_loss F.kl_div Tensor.addr
    """,
    "float64": """
        F.binary_cross_entropy F.binary_cross_entropy_with_logits F.soft_margin_loss
    """,
    "float32": """
        F.binary_cross_entropy F.binary_cross_entropy_with_logits F.soft_margin_loss
    """,
    "one axis more": """
        F.binary_cross_entropy F.binary_cross_entropy_with_logits F.soft_margin_loss
    """,
    "ties": """
        F.binary_cross_entropy_with_logits F.soft_margin_loss
    """,
    "other sizes 1": """
        F.linear
    """,
    "other sizes 0": """
        F.multi_head_attention_forward
    """,
}
# Clearprop refuses with a sentence: gradients, indices and integers that PyTorch lets through
# (an index beyond an axis of size 1, a fraction cut off to add it to integers, mixed types),
# matrices without rows.
REFUSED = {
    "last one": """
        take_along_dim
    """,
    "bool": """
        einsum
    """,
    "other type 0": """
        einsum linalg.solve_triangular F.conv_transpose2d F.cosine_similarity
        F.local_response_norm
    """,
    "other type 1": """
        einsum F.cosine_similarity
    """,
    "empty": """
        cholesky linalg.cond linalg.lstsq linalg.matrix_norm F.scaled_dot_product_attention
    """,
    "int64": """
        F.local_response_norm Tensor.addbmm_ Tensor.addcmul_ Tensor.baddbmm_
    """,
    "0-d": """
        F.dropout2d F.feature_alpha_dropout Tensor.__getitem__
    """,
}
# Both refuse, with another type: clearprop names sizes (RuntimeError) where an index into the
# sizes fails in PyTorch (IndexError), and the reverse.
OTHER_ERROR = {
    "empty": """
        norm F.affine_grid F.instance_norm
    """,
    "0-d": """
        histogram take_along_dim mv F.adaptive_avg_pool2d F.adaptive_max_pool3d F.avg_pool2d
        F.batch_norm F.bilinear F.cross_entropy F.embedding F.grid_sample F.instance_norm
        F.interpolate F.lp_pool2d F.nll_loss F.rms_norm F.unfold F.upsample_nearest
    """,
    "one axis more": """
        histogram index_fill index_put F.embedding
    """,
    "other sizes 1": """
        histogram index_copy index_fill orgqr linalg.householder_product F.cross_entropy
        F.nll_loss Tensor.map_ Tensor.histogram Tensor.index_copy Tensor.index_copy_
        Tensor.index_fill Tensor.index_fill_ Tensor.orgqr
    """,
    "other sizes 0": """
        index_select index_add index_reduce F.adaptive_avg_pool2d F.adaptive_max_pool3d
        F.avg_pool2d F.cross_entropy F.interpolate F.lp_pool2d F.nll_loss F.unfold
        F.upsample_nearest Tensor.map_
    """,
    "other type 1": """
        index_fill
    """,
    "one": """
        F.affine_grid F.multi_head_attention_forward
    """,
    "int64": """
        F.multi_head_attention_forward
    """,
}
# Other numbers: which of equal elements kthvalue and topk name; repeated places of index_fill
# count once, as they are written once; ties share a gradient; a fraction is not cut off for
# integers; PyTorch's float32 inside celu; sizes of nothing.
NUMBERS = {
    "int64": """
        addcmul topk addmm addbmm baddbmm F.hardtanh F.threshold Tensor.addbmm
        Tensor.addcmul Tensor.addmm Tensor.baddbmm Tensor.topk
    """,
    "one axis more": """
        prod Tensor.stride
    """,
    "ties": """
        kthvalue softmax topk index_fill index_reduce scatter_reduce cdist
        F.binary_cross_entropy F.kl_div F.log_softmax F.softmax
    """,
    "other type 0": """
        kthvalue topk F.hardtanh F.poisson_nll_loss F.threshold
    """,
    "bool": """
        searchsorted Tensor.add
    """,
    "empty": """
        bincount pixel_unshuffle F.multi_margin_loss F.multilabel_margin_loss
        F.pixel_unshuffle Tensor.stride
    """,
    "float64": """
        index_fill F.celu Tensor.index_fill Tensor.index_fill_
    """,
    "float32": """
        index_fill Tensor.index_fill Tensor.index_fill_
    """,
    "transposed": """
        index_fill F.celu
    """,
    "0-d": """
        linalg.vander
    """,
}

ALLOWED: dict[str, set[str]] = {}
for rows in (LIMITS, COMPUTED, REFUSED, OTHER_ERROR, NUMBERS):
    for change, names in rows.items():
        for name in names.split():
            ALLOWED.setdefault(name, set()).add(change)
