"""The names of PyTorch's that people use in small and medium networks, by module: M they must have,
S they should have.
"""

NAMES = {
    "torch": {
        "M": """
            tensor zeros ones full arange linspace eye rand randn randint randperm normal empty
            zeros_like ones_like full_like rand_like randn_like from_numpy as_tensor Tensor
            LongTensor FloatTensor manual_seed Generator float32 float64 float16 int64 int32 int16
            int8 uint8 bool double float half long int short device dtype
            reshape flatten squeeze unsqueeze transpose permute t unflatten movedim narrow select
            broadcast_to tile ravel numel
            cat stack split chunk unbind hstack vstack meshgrid flip roll
            gather scatter scatter_add index_select masked_select masked_fill where take_along_dim
            nonzero topk sort argsort unique searchsorted bucketize
            add sub mul div pow neg abs sign sqrt rsqrt exp log log1p log2 log10 expm1 sin cos tan
            asin acos atan atan2 sinh cosh tanh sigmoid relu clamp clip maximum minimum reciprocal
            square floor ceil round trunc fmod remainder floor_divide erf lerp isnan isinf isfinite
            nan_to_num eq ne lt le gt ge logical_and logical_or logical_not logical_xor bitwise_and
            bitwise_or bitwise_xor bitwise_not
            sum mean max min amax amin argmax argmin prod std var norm logsumexp cumsum cumprod all
            any count_nonzero median
            matmul mm bmm mv dot outer einsum addmm baddbmm tril triu diag trace
            softmax log_softmax conv1d conv2d avg_pool1d max_pool2d dropout
            multinomial bernoulli save load set_printoptions finfo iinfo allclose equal
            no_grad enable_grad set_grad_enabled inference_mode is_grad_enabled is_tensor
            is_floating_point autograd nn optim cuda utils get_default_dtype set_default_dtype
            compile
        """,
        "S": """
            kron tensordot cdist quantile nanquantile cummax cummin logcumsumexp logaddexp
            logaddexp2 xlogy lgamma digamma erfc erfinv hypot repeat_interleave bincount histc diff
            cross rot90 tril_indices triu_indices combinations rms_norm inverse det slogdet logdet
            cholesky qr svd pinverse matrix_power matrix_exp
            absolute acosh asinh atanh arccos arcsin arctan addcdiv addcmul addmv addr aminmax
            argwhere asarray atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes
            broadcast_tensors cartesian_prod celu chain_matmul clamp_max clamp_min clone
            column_stack concat concatenate copysign corrcoef cosine_similarity cov deg2rad
            cumulative_trapezoid
            detach diag_embed diagflat diagonal dist divide dsplit dstack empty_like exp2 fliplr
            flipud float_power fmax fmin frac frexp gcd greater greater_equal
            heaviside histogram hsplit i0 index_add index_copy index_fill initial_seed inner
            is_nonzero isclose isin isneginf isposinf isreal kthvalue lcm ldexp less less_equal
            logical_not logit logspace masked_scatter mode moveaxis msort multiply mvlgamma
            nanmean nanmedian nansum narrow_copy negative nextafter not_equal pairwise_distance
            poisson polygamma positive promote_types put rad2deg result_type can_cast
            row_stack rsub scatter_reduce seed selu sgn signbit sinc std_mean subtract swapaxes
            swapdims take tensor_split trapezoid trapz true_divide typename unique_consecutive
            unravel_index vander var_mean vdot vmap vsplit xlogy accelerator get_rng_state
            set_rng_state default_generator special linalg func distributions
            is_inference_mode_enabled scalar_tensor
        """,
    },
    "torch.Tensor": {
        "M": """
            backward grad requires_grad requires_grad_ is_leaf grad_fn retain_grad detach detach_
            data register_hook to float long double int bool type cpu numpy item tolist size shape
            dim ndim numel reshape view flatten squeeze unsqueeze transpose permute t T mT expand
            expand_as repeat view_as contiguous unflatten movedim narrow select ravel tile
            split chunk unbind flip roll gather scatter scatter_ scatter_add scatter_add_
            index_select index_add_ masked_fill masked_fill_ masked_select topk sort argsort unique
            nonzero add sub mul div pow neg abs sign sqrt rsqrt exp log sin cos tanh sigmoid relu
            clamp clip floor ceil round sum mean max min amax amin argmax argmin prod std var norm
            logsumexp cumsum cumprod all any median matmul mm bmm mv dot outer addmm tril triu diag
            trace softmax log_softmax add_ sub_ mul_ div_ zero_ fill_ copy_ clamp_ normal_ uniform_
            clone eq ne lt le gt ge multinomial bernoulli bernoulli_ dtype device element_size
            is_contiguous stride type_as new_zeros new_ones new_full new_empty new_tensor cuda
            __getitem__ __setitem__ __array__ is_floating_point half
        """,
        "S": """
            register_post_accumulate_grad_hook __dlpack__ addcdiv_ addcmul_ abs_ exp_ sqrt_ pow_
            neg_ tanh_ sigmoid_ relu_ floor_ ceil_ round_ trunc_ square_ reciprocal_ rsqrt_ log_
            sin_ cos_ lerp lerp_ masked_scatter masked_scatter_ index_copy index_copy_ index_fill
            index_fill_ index_put index_put_ put_ take scatter_reduce scatter_reduce_ diagonal
            diag_embed unfold kthvalue mode quantile nansum nanmean isclose allclose equal
            cummax cummin logcumsumexp diff bincount histc repeat_interleave erf erfc erfinv lgamma
            digamma logit xlogy hypot atan2 fmod remainder floor_divide true_divide logical_and
            logical_or logical_not logical_xor bitwise_and isnan isinf isfinite nan_to_num
            count_nonzero argwhere aminmax tensor_split swapaxes swapdims moveaxis fliplr flipud
            rot90 inverse det logdet slogdet cholesky qr svd matrix_power pinverse
            exponential_ geometric_ cauchy_ log_normal_ random_ triu_ tril_ fill_diagonal_ squeeze_
            unsqueeze_ transpose_ t_ swapaxes_ clamp_min clamp_max clamp_min_ clamp_max_
            requires_grad_ nelement ndimension sum_to_size expand broadcast_to std float_power
            trunc frac expm1 log1p log2 log10 exp2 sinh cosh asin acos atan tan
            baddbmm addmv addr inner vdot tile apply_ map_ get_device is_cuda share_memory_
            pin_memory storage_offset data_ptr dist logaddexp
        """,
    },
    "torch.nn": {
        "M": """
            Module Sequential ModuleList ModuleDict ParameterList ParameterDict Parameter Identity
            Flatten Unflatten Linear Bilinear Embedding Conv1d Conv2d MaxPool1d MaxPool2d AvgPool1d
            AvgPool2d AdaptiveAvgPool1d AdaptiveAvgPool2d Dropout Dropout2d BatchNorm1d BatchNorm2d
            LayerNorm ReLU Tanh Sigmoid LeakyReLU ELU SELU GELU SiLU Softplus Hardtanh PReLU Softmax
            LogSoftmax RNN LSTM GRU RNNCell LSTMCell GRUCell MSELoss L1Loss SmoothL1Loss HuberLoss
            CrossEntropyLoss NLLLoss BCELoss BCEWithLogitsLoss KLDivLoss init utils functional
        """,
        "S": """
            LazyLinear LazyConv1d LazyConv2d LazyConvTranspose2d LazyBatchNorm1d LazyBatchNorm2d
            GroupNorm InstanceNorm1d InstanceNorm2d RMSNorm LocalResponseNorm ConvTranspose1d
            ConvTranspose2d MultiheadAttention TransformerEncoderLayer TransformerEncoder
            TransformerDecoderLayer TransformerDecoder Transformer Upsample PixelShuffle
            PixelUnshuffle CosineSimilarity PairwiseDistance MarginRankingLoss TripletMarginLoss
            TripletMarginWithDistanceLoss HingeEmbeddingLoss CosineEmbeddingLoss GaussianNLLLoss
            PoissonNLLLoss SoftMarginLoss MultiMarginLoss MultiLabelMarginLoss
            MultiLabelSoftMarginLoss Mish GLU Hardswish Hardsigmoid Hardshrink Softshrink Tanhshrink
            Threshold RReLU ReLU6 CELU LogSigmoid Softmin Softmax2d Softsign EmbeddingBag Dropout1d
            AlphaDropout FeatureAlphaDropout AdaptiveMaxPool1d AdaptiveMaxPool2d LPPool1d LPPool2d
            MaxUnpool2d Unfold Fold ZeroPad1d ZeroPad2d ConstantPad1d ConstantPad2d ReflectionPad1d
            ReflectionPad2d ReplicationPad1d ReplicationPad2d CircularPad1d CircularPad2d
            UpsamplingNearest2d UpsamplingBilinear2d ChannelShuffle Dropout3d
            UninitializedParameter
        """,
    },
    "torch.nn.functional": {
        "M": """
            linear conv1d conv2d max_pool1d max_pool2d avg_pool1d avg_pool2d adaptive_avg_pool1d
            adaptive_avg_pool2d dropout dropout2d pad embedding one_hot softmax log_softmax relu
            tanh sigmoid leaky_relu elu selu gelu silu softplus hardtanh prelu batch_norm layer_norm
            mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy nll_loss binary_cross_entropy
            binary_cross_entropy_with_logits kl_div normalize
        """,
        "S": """
            bilinear conv_transpose1d conv_transpose2d interpolate upsample unfold fold
            scaled_dot_product_attention group_norm instance_norm rms_norm local_response_norm
            embedding_bag cosine_similarity pairwise_distance pdist margin_ranking_loss
            triplet_margin_loss triplet_margin_with_distance_loss hinge_embedding_loss
            cosine_embedding_loss gaussian_nll_loss poisson_nll_loss soft_margin_loss
            multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss mish glu hardswish
            hardsigmoid hardshrink softshrink tanhshrink threshold rrelu relu6 celu logsigmoid
            softmin softsign gumbel_softmax dropout1d dropout3d alpha_dropout feature_alpha_dropout
            adaptive_max_pool1d adaptive_max_pool2d lp_pool1d lp_pool2d max_unpool2d pixel_shuffle
            pixel_unshuffle channel_shuffle relu_ multi_head_attention_forward
        """,
    },
    "torch.nn.init": {
        "M": """
            orthogonal_ constant_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_
            normal_ uniform_ zeros_ ones_ trunc_normal_ calculate_gain
        """,
        "S": "eye_ dirac_ sparse_",
    },
    "torch.nn.utils": {
        "M": "clip_grad_norm_",
        "S": """
            clip_grad_value_ parameters_to_vector vector_to_parameters weight_norm spectral_norm
            parametrize parametrizations rnn remove_weight_norm skip_init get_total_norm
        """,
    },
    "torch.nn.utils.rnn": {
        "S": """
            PackedSequence pack_padded_sequence pad_packed_sequence pack_sequence pad_sequence
            unpack_sequence unpad_sequence
        """,
    },
    "torch.optim": {
        "M": "Optimizer SGD Adam AdamW RMSprop Adagrad lr_scheduler",
        "S": "LBFGS Adadelta NAdam RAdam Adamax Rprop ASGD Muon swa_utils",
    },
    "torch.optim.lr_scheduler": {
        "M": """
            StepLR MultiStepLR ExponentialLR CosineAnnealingLR ReduceLROnPlateau LambdaLR LinearLR
            OneCycleLR SequentialLR
        """,
        "S": """
            ConstantLR PolynomialLR CyclicLR CosineAnnealingWarmRestarts ChainedScheduler
            MultiplicativeLR LRScheduler
        """,
    },
    "torch.optim.swa_utils": {
        "S": "AveragedModel SWALR update_bn get_ema_multi_avg_fn get_ema_avg_fn",
    },
    "torch.autograd": {
        "M": """
            grad backward Function Variable no_grad enable_grad set_grad_enabled inference_mode
            detect_anomaly set_detect_anomaly gradcheck gradgradcheck
        """,
        "S": "functional graph",
    },
    "torch.autograd.graph": {"S": "saved_tensors_hooks save_on_cpu"},
    "torch.autograd.functional": {"S": "jacobian hessian vjp jvp hvp vhp"},
    "torch.func": {
        "S": """
            grad grad_and_value vjp jvp jacrev jacfwd hessian vmap functional_call linearize
            stack_module_state
        """,
    },
    "torch.linalg": {
        "S": """
            norm vector_norm matrix_norm inv solve solve_triangular det slogdet cholesky qr svd
            svdvals eigh eigvalsh pinv lstsq matrix_power matrix_rank multi_dot cond matrix_exp
            vecdot cross diagonal vander inv_ex cholesky_ex LinAlgError
        """,
    },
    "torch.distributions": {
        "S": """
            Distribution Normal Categorical Bernoulli Uniform Beta Gamma MultivariateNormal
            Independent OneHotCategorical Binomial Multinomial Geometric Poisson Exponential Laplace
            LogNormal HalfNormal Cauchy Gumbel Dirichlet Chi2 StudentT TransformedDistribution
            kl_divergence register_kl
        """,
    },
    "torch.utils.data": {
        "M": """
            Dataset TensorDataset DataLoader random_split Subset ConcatDataset
        """,
        "S": """
            IterableDataset WeightedRandomSampler BatchSampler Sampler RandomSampler
            SequentialSampler SubsetRandomSampler default_collate get_worker_info ChainDataset
        """,
    },
    "torch.utils.checkpoint": {"S": "checkpoint checkpoint_sequential"},
    "torch.cuda": {
        "M": "is_available device_count manual_seed manual_seed_all empty_cache synchronize",
    },
    "torch.backends": {"M": "cudnn mps"},
    "torch.special": {
        "S": """
            expit logit erf erfc erfinv gammaln digamma psi polygamma xlogy xlog1py entr ndtr
            log_ndtr ndtri i0 i0e i1 i1e sinc softmax log_softmax logsumexp expm1 exp2 log1p round
            multigammaln gammainc gammaincc zeta
        """,
    },
}


def rows():
    """(module, name, 'M' or 'S') of every name."""
    for module, marks in NAMES.items():
        for mark, names in marks.items():
            for name in sorted(set(names.split())):
                yield module, name, mark
