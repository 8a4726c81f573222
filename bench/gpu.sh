#!/bin/sh
# What training does on this machine's GPU, as one table: sh bench/gpu.sh [--faces faces.npz]
# In under 8 minutes; needs Python, torch, torchvision, lightning, torchmetrics, OpenCV and this checkout.
cd "$(dirname "$0")/.." && exec "${PYTHON:-python3}" -m bench.gpu "$@"
