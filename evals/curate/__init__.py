"""CURATe with honest controls: does a way of remembering make a model safer, at what price, and is it annoying?"""
