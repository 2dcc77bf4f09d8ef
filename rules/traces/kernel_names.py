"""What a GPU kernel is, told by its name: its family, its precision, whether it runs on tensor cores.

Names of cuBLAS, cuDNN, CUTLASS, FlashAttention, PyTorch, Triton, vLLM, NCCL and of ROCm's libraries are
known, as they stand in traces of 2020 to 2026. Every pattern is plain alternatives, so that a name of any
length takes time in proportion to what is read of it, and that is bounded.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from rules.traces.kernel_precision import collective_precision, misaligned_of, precision_of, tensor_of
from rules.traces.kernel_records import Tensor

# Characters of a name that are read; template arguments that tell anything stand before.
READ_CHARS = 4096


class KernelClass(msgspec.Struct, frozen=True, kw_only=True):
    """What a name tells of a kernel.

    family: "gemm", "convolution", "attention", "normalisation", "softmax", "elementwise", "reduction",
    "embedding" (gather, scatter, index), "sort", "rnn", "fft", "optimizer", "collective", "moe",
    "quantisation", "rng", "triton" (fused pointwise code of TorchInductor), "copy" (cat, transpose, cast),
    "other". precision, tensor: as of records.KernelRow. vector: multiplies with few rows at a time (matrix
    times vector, attention of a decode step, a depthwise convolution), so that memory bounds it. helper:
    stands beside its operator's main kernel (a split's sum, transforms, offsets) and does none of its
    arithmetic. misaligned: reads its operands in less than 16 bytes at a time, since sizes of theirs are no
    multiples of that (8 elements in half precision); None where the name does not tell.
    """

    family: str
    precision: str | None = None
    tensor: Tensor = "unknown"
    collective: bool = False
    vector: bool = False
    helper: bool = False
    misaligned: bool | None = None


# Families that multiply matrices: only they can use tensor cores.
MATRIX = frozenset({"gemm", "convolution", "attention", "moe", "rnn"})
_HELPED = MATRIX | {"reduction", "elementwise"}

_Pattern = re.Pattern[str]
# What tells nothing of a kernel, and whose brackets would end its head too soon.
_NOISE = re.compile(
    r"^void |\(anonymous namespace\)::|<unnamed>::|std::enable_if<!?\(?(?:true|false)\)?, void>::type "
    r"|\(vllm::Fp8KVCacheDataType\)0"
)
_HEAD = re.compile(r"[<(]")
# Heads whose template arguments say what the kernel is.
_WRAPPERS = re.compile(
    r"cutlass\w*::(?:kernel2?|device_kernel)$|device_kernel$|kentry|^_z|(?:^|:)kernel2?$|cutlass\w*::kernel"
    r"|generalkernel|kernel_entry"
)
_TORCH_LOOPS = re.compile(
    r"elementwise_kernel(?:_manual_unroll|_with_index|_for_multi_outputs)?$|elementwise_kernel\b"
    r"|unrolled_elementwise|vectorized_elementwise"
)
_TRITON = re.compile(r"^triton_")

# Of generic loops over elements: what their functor does; else they are elementwise.
_LOOPS: tuple[tuple[str, _Pattern], ...] = (
    ("embedding", re.compile(r"scatter_gather|index_elementwise|gpu_index_kernel|index_put")),
    ("rng", re.compile(r"distribution_|philox|bernoulli|dropout|random_|uniform_|normal_and")),
    ("quantisation", re.compile(r"hfp8|quantize|float8_copy")),
    ("copy", re.compile(r"copy_kernel_cuda|copy_device_to_device|loadwithcast.*direct_copy|copy_kernel")),
)
# By the head of the name (or all of it, where the head is a wrapper), in lower case; the first counts.
_FAMILIES: tuple[tuple[str, _Pattern], ...] = (
    (
        "collective",
        re.compile(
            r"nccl|rccl|all_?reduce|all_?gather|reduce_?scatter|all_?to_?all|cross_device_reduce|msccl|nvshmem"
            r"|deep_ep|(?:one|two)_?shot|multimem|quickreduce|sendrecv|lamport"
        ),
    ),
    (
        "embedding",
        re.compile(r"split_embedding|reshape_and_cache|fbgemm_gpu::permute|concat_and_cache|kv_cache_store"),
    ),
    ("gemm", re.compile(r"mul_mat")),
    (
        "quantisation",
        re.compile(
            r"quantize|dequant|_quant_|quant_kernel|_quant$|fp8_qparam|to_fp8|_to_float_cuda|scaled_fp8|cast_transpose"
            r"|cvt_fp|amax_"
        ),
    ),
    (
        "optimizer",
        re.compile(
            r"multi_tensor_apply|adam|_sgd|sgd_|lamb_|adagrad|rmsprop|adafactor|koptimizer|fused_optim|lion_"
        ),
    ),
    (
        "moe",
        re.compile(
            r"moe|expert|matmul_ogs|topk_?gating|grouped_topk|routing|bitmatrix|finalize_matmul_scatter|_topk_forward"
        ),
    ),
    (
        "sort",
        re.compile(
            r"radix_?sort|bitonic|mergesort|merge_sort|sort|topk|onesweep|kthvalue|unique_by|findpivot"
        ),
    ),
    (
        "normalisation",
        re.compile(
            r"layer_?norm|rms_?norm|batch_?norm|group_?norm|instance_?norm|bn_fw|bn_bw|rowwisemoments|gammabeta"
            r"|ln_fwd|ln_bwd|ln_parallel|computeinternalgradients|l2norm|norm_fwd|norm_bwd|fusedaddrms|add_norm"
            r"|norm_kernel|computefusedparams|spatial_?bn|weight_norm|computegradinput|gradgammabeta"
        ),
    ),
    (
        "attention",
        re.compile(
            r"flash|fmha|attention|attn|paged_|mha_|_mla|mla_|::mla|sdpa|batchprefill|batchdecode|singleprefill"
            r"|singledecode|^_fwd_kernel(?:_stage\d)?$|_fwd_grouped_kernel|reduce_segments|attentionkernel|merge_states|splitkv|dot_do_o|dq_dk_dv"
        ),
    ),
    ("softmax", re.compile(r"soft_?max|cross_?entropy|logsumexp")),
    ("rnn", re.compile(r"lstm|gru_|_gru|rnn_|_rnn|persistrnn|gru_cell|elemwise_rnn")),
    (
        "fft",
        re.compile(
            r"fft|bluestein|[sdh]pradix\d|[sdh]pvector\d|[sdh]preal|postprocessc2c|preprocessc2c|conjugate_mirror"
        ),
    ),
    (
        "copy",
        re.compile(
            r"catarray|transpose|nchwtonhwc|nhwctonchw|memcpy|memset|copybuffer|fillbuffer|copy_"
            r"|_copy|_pad_|padding|reflection_pad|replication_pad|constant_pad|roll_cuda|flip_|tril|triu|tensortransform"
            r"|permute|split_with_sizes|chunk_cat|pack_|cpy_"
        ),
    ),
    (
        "convolution",
        re.compile(
            r"conv(?!er)|scudnn|wgrad|dgrad|fprop|winograd|igemm_(?:fwd|bwd|wrw)|im2col|col2im|vol2col|computeoffsets"
            r"|computeboffsets|computewgrad|cudnn_\w*gemm|cudnn::cnn|miopensp3|naive_conv|icudnn|884cudnn|1688cudnn|16816cudnn|16832cudnn"
        ),
    ),
    (
        "reduction",
        re.compile(r"splitkreduce|splitk_reduce|reduce_1block|split_?k_?sum|postgsu|reducesplitk"),
    ),
    (
        "gemm",
        re.compile(
            r"(?<!fb)gemm|gemv|nvjet|matmul|cijk_|_mm_|_mm$|mm_kernel|xmma|(?<!sub)tensorop|cublaslt::\w*kernel|tinygemm|marlin|machete"
            r"|dot_kernel|wvsplitk|llmm|bgmv|sgmv|lora_shrink|lora_expand|wv_splitk|trsm|syrk|symm|gptq|awq|s161616"
        ),
    ),
    (
        "embedding",
        re.compile(
            r"(?<!rotary_)embedding|gather|scatter|index|_take|krn_partials|compute_grad_weight|jagged|bucketize|masked_select"
            r"|compute_cuda_kernel|fbgemm_gpu|bounds_check|nonzero|write_indices|lookup"
        ),
    ),
    (
        "rng",
        re.compile(r"distribution_|philox|curand|bernoulli|dropout|random|sampling|multinomial|randperm"),
    ),
    (
        "elementwise",
        re.compile(
            r"elementwise|act_and_mul|activation|gelu|silu|swish|relu|rotary|rope|swiglu|glu_|optensor|op_tensor|subtensorop"
            r"|arange|fill|upsample|threshold|clamp|addtensor|scalepackedtensor|scal_kernel|bias|axpy|epilogue"
            r"|interp|grid_sampler|foreach|bin_bcast|unary_op|eigenmetakernel|loop_\w*fusion|add_kernel|mul_kernel|cast|residual|pointwise"
        ),
    ),
    (
        "reduction",
        re.compile(
            r"reduce|reduction|_sum|sum_|mean_|argmax|argmin|scan|cumsum|cumprod|histogram|pool|nll|criterion|loss"
            r"|compact|select|norm|count|segments|dot_|nrm2|asum"
        ),
    ),
)
# What a fused kernel of TorchInductor mostly does, by the names of the operators it was made of.
_FUSED: tuple[tuple[str, _Pattern], ...] = (
    ("attention", re.compile(r"flex_attention|scaled_dot_product")),
    ("convolution", re.compile(r"triton_tem\w*convolution|triton_conv")),
    ("gemm", re.compile(r"triton_(?:tem|mm|bmm|tmm)")),
    ("rng", re.compile(r"native_dropout|bernoulli|_rand")),
)
_FUSED_REDUCTIONS: tuple[tuple[str, _Pattern], ...] = (
    ("softmax", re.compile(r"softmax|logsumexp")),
    ("normalisation", re.compile(r"layer_norm|rms_norm|batch_norm|group_norm|rsqrt")),
)

_VECTOR = re.compile(
    r"gemv|mul_mat_vec|gemmk1|wvsplitk|wv_splitk|llmm|dot_kernel|bgmv|sgmv|lora_shrink|lora_expand|gemvx"
)
_DECODE = re.compile(
    r"paged|decode|_stage\d|splitkv|attention_3d|singlequery|single_query|mla_|_mla|mmha|masked_multihead"
)
_SKINNY_TILE = re.compile(
    r"_(?:16|8)x\d+x\d+x1|_mt(?:16|8)x|nvjet_(?:sm\d+_)?[a-z]+_(?:\d+x(?:8|16)|(?:8|16)x\d+)_|tilesize\d+x(?:8|16)x"
)
_DEPTHWISE = re.compile(r"depth_?wise|dwconv|causal_conv1d")
_HELPER = re.compile(
    r"splitkreduce|splitk_reduce|reduce_1block|offsetskernel|winograd(?:forward|wgrad|dgrad)?(?:data|filter|output"
    r"|delta|grad|tiles)|generatewinograd|im2col|col2im|vol2col|combine|reduce_segments|dot_do_o|convert_dq|postgsu"
    r"|epilogue|mla_reduce|reduce_wgrad|merge_states|scheduler_metadata|prepare_varlen|memset|splitk_sum"
    r"|routing|bitmatrix|topk|finalize|align_block|moe_align|permute|moe_sum"
)


def kernel_class(name: str) -> KernelClass:
    """The class of a kernel of this name; family "other" where the name tells none."""
    return _class_of(name[:READ_CHARS])


@lru_cache(maxsize=16384)
def _class_of(name: str) -> KernelClass:
    text = _NOISE.sub("", name).lower()
    head = _HEAD.split(text, maxsplit=1)[0]
    family = _family(text, head)
    if family == "collective":
        precision = None if "sendrecv" in text else collective_precision(text)
        return KernelClass(family=family, precision=precision, tensor="not-eligible", collective=True)
    return _described(family, text, text if _WRAPPERS.search(head) or not head else head)


def _family(text: str, head: str) -> str:
    if _TRITON.match(text):
        return _fused(text)
    if _TORCH_LOOPS.search(head):
        return _first(_LOOPS, text) or "elementwise"
    told = text if _WRAPPERS.search(head) or not head else head
    if "elementwise" in head and "rnn" not in head:
        return _first(_LOOPS, text) or "elementwise"
    return _first(_FAMILIES, told) or "other"


def _fused(text: str) -> str:
    found = _first(_FUSED, text)
    if found is None and text.startswith(("triton_red", "triton_per")):
        return _first(_FUSED_REDUCTIONS, text) or "reduction"
    return found or "triton"


def _first(table: tuple[tuple[str, _Pattern], ...], text: str) -> str | None:
    return next((family for family, pattern in table if pattern.search(text)), None)


def _described(family: str, text: str, told: str) -> KernelClass:
    helper = family in _HELPED and _HELPER.search(told) is not None
    precision = precision_of(text)
    if family not in MATRIX:
        return KernelClass(family=family, precision=precision, tensor="not-eligible", helper=helper)
    vector = _vector(family, told)
    tensor = tensor_of(text, family, precision, vector, helper)
    return KernelClass(
        family=family, precision=precision, tensor=tensor, vector=vector, helper=helper,
        misaligned=misaligned_of(text, precision),
    )  # fmt: skip


def _vector(family: str, told: str) -> bool:
    if family == "attention":
        return _DECODE.search(told) is not None
    if family == "convolution":
        return _DEPTHWISE.search(told) is not None
    return family in ("gemm", "moe") and (_VECTOR.search(told) or _SKINNY_TILE.search(told)) is not None
