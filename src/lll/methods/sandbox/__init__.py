"""The experimental rules of the sandbox method: pure functions of tensors."""
