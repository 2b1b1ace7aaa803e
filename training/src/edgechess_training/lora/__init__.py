"""Fine-tuning of language models on records of `edgechess dataset build`: here, or as a SageMaker job."""
