"""The network: pixel arrays in, probabilities and numbers out.

Belongs here: architectures, losses, augmentation, the training program, the predictor, metrics. Does not: DICOM,
tables, cohorts, orchestration, tracking. The room imports and trains where only torch, lightning, timm,
segmentation_models_pytorch, albumentations, safetensors, numpy and opencv are installed.
"""
