// One file for the compiler, which reads torch's headers once for all: half of the time that it takes.
#include "bias_act.cpp"
#include "conv3x3.cpp"
#include "upfirdn2d.cpp"
