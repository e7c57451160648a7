"""Finds objects in a picture, prints them, and writes the drawn picture.

python examples/detect.py cfg/synth.cfg weights/synth.weights data/scene.png
"""

import sys

import darknet_py as dn

cfg, weights, picture = sys.argv[1:]
with dn.Network(cfg, weights) as net:
    detections = net.detect(picture, thresh=0.5)
    for d in detections:
        print(f"{d.label}: {d.confidence:.0%} at {d.xyxy}")
    detections.save("predictions.png")
