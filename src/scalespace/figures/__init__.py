"""Pictures: grids and animations of images (Pillow), charts (matplotlib)."""
