"""A candidate as one network file that needs nothing of ours: ONNX, Keras or OpenVINO."""
