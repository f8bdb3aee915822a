"""What the program can be started with: text from the command line and the environment in, checked values out."""
