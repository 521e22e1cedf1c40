"""timm's attention, whose Python takes any number of heads and any width."""

from prunekit.models.attention.heads import Heads

ATTENTION = Heads("timm.layers.attention.Attention", rows="qkv.weight", count="num_heads", width="head_dim", whole="attn_dim")
WINDOWS = Heads("timm.models.swin_transformer.WindowAttention", rows="qkv.weight", count="num_heads", width="head_width")
