"""The instruments, one folder each. An instrument never knows the limit it will be compared with."""
