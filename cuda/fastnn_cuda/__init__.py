"""The CUDA plug-in of fastnn: a shared library that `fastnn.cuda` loads. There is nothing to call here."""
