// SPDX-License-Identifier: Apache-2.0
#include "convert.hpp"

namespace coxlmm::python {

std::vector<borrowed> borrow_blocks(py::handle value, const std::string& name) {
    std::vector<borrowed> blocks;
    // Arrays first: for one sample the look-up of the class below would be felt.
    if (py::isinstance<py::array>(value) ||
        !py::isinstance(value, py::module_::import("coxlmm.row_blocks").attr("RowBlocks"))) {
        blocks.push_back(borrow(value, name));
        return blocks;
    }
    for (const py::handle block : value.attr("blocks")) {
        blocks.push_back(borrow(block, "block " + std::to_string(blocks.size()) + " of " + name));
        if (is_double(blocks.back().view) != is_double(blocks.front().view)) {
            throw py::type_error("the blocks of " + name + " must be of one dtype");
        }
    }
    return blocks;
}

}  // namespace coxlmm::python
