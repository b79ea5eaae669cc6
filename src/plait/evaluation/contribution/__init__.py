"""What each modality contributes: Shapley values, permutation, interaction, and bits of information."""
