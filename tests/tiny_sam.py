"""A SAM 2 of some thousand random weights."""

from pathlib import Path

import torch

SIDE = 64
"""Pixels of its input; its masks have a quarter of that."""


def save_tiny_sam(folder: Path) -> Path:
    """Write it as transformers saves it; its masks differ, and so do their qualities."""
    import transformers

    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        fpn_hidden_size=32,
    )
    prompts = transformers.Sam2PromptEncoderConfig(hidden_size=32, image_size=SIDE)
    decoder = transformers.Sam2MaskDecoderConfig(
        hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16
    )
    settings = {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": decoder}
    torch.manual_seed(0)
    model = transformers.Sam2Model(transformers.Sam2Config(**settings))
    for name, value in model.named_parameters():
        if "hyper" in name or "iou" in name:
            torch.nn.init.normal_(value, std=0.5)
    model.save_pretrained(folder)
    return folder
