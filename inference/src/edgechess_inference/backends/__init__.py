"""What computes: torch, onnxruntime, Hugging Face models; and what they share: loading, batching, swapping."""
