"""What a customised GAN is for: directions, interpolation, projection of pictures, mixing of models."""
