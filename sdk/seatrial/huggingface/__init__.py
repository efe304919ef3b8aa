"""Model sources from local folders of Hugging Face models: `hf:FOLDER`."""
