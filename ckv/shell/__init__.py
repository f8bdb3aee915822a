"""What the shell is made of: words, commands, results, and the prompt. The role is :mod:`ckv.roles.shell`."""
