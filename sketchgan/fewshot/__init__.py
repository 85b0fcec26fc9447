"""Few-shot semantic synthesis: from one to five labelled pictures to a painter of layouts."""
