"""The network: pixel arrays in, probabilities and numbers out.

Belongs here: architectures, losses, augmentation, the training program, the predictor, metrics. Does not: DICOM,
tables, cohorts, orchestration, tracking. The room imports and trains where only torch, lightning, timm,
segmentation_models_pytorch, albumentations, safetensors, numpy and opencv are installed.
"""

import os

# Read once, when torch loads OpenMP. By default its idle threads spin: on two cores that anything else also uses, the
# demo's training was seen to fall from 37 to 2 images a second. Waiting threads give the core away; results are equal.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
