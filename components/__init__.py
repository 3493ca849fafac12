"""The page: layout, controls, carriers and views. Tensors never come this far."""
