"""What the program is installed with: the lock, its bill of materials, licences, and what the wheel ships."""
