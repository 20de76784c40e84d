// Memory of large results.
#pragma once

#include "numpy_api.hpp"

namespace halfwave {

// As PyArray_SimpleNew. A large array's memory comes from blocks that earlier results gave back, if there is one of the
// size: pages that the system hands out anew have to be cleared first, which takes as long as the call itself. What waits
// to be used again is bounded, and the system may take it back at any time.
PyObject* new_result(int dimensions, npy_intp* shape, int type);

}  // namespace halfwave
