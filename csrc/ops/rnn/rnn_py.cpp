#include "ops/rnn/rnn.h"
#include "python/bind.h"

namespace fastnn {
namespace {

using MaybeTensor = std::optional<Tensor>;

Tensor or_none(const MaybeTensor& t) { return t ? *t : Tensor(); }

const char* const kCommon = R"(

Parameters
----------
x : Tensor [N, T, C]
    float32 or float64.
weights : sequence of Tensor
    For each layer, and in it each direction, W_x [C, G H] (D H rows from the second layer on), W_h [H, G H] and, with
    biases, b_x and b_h [G H]; G blocks of H columns, one a gate.
h0 : Tensor [num_layers D, N, H], optional
    Initial states, layer by layer; zeros without it.
lengths : Tensor of integers [N], optional
    How many steps of each row are valid, 1 to T. Outputs after them are 0, nothing of x is read there, the final state
    is that of the last valid step, and the reverse direction starts at it.
num_layers : int, default 1
bidirectional : bool, default False
    D = 2: the second half of the output is of a second set of weights that reads the row backwards.
dropout : float, default 0
    Of the outputs of every layer but the last, while `training`.
training : bool, default False
)";

const char* const kReturns = R"(products : bool, default False
    x is [N, T, D G H] and holds the products with W_x (without b_x) of the first layer, direction beside direction;
    the sets of weights of this layer begin with W_h. Inputs that are ids need no product: they are rows of W_x.

Returns
-------
y : Tensor [N, T, D H]
    The states h of the last layer.
)";

const char* const kRaises = R"(

Raises
------
ValueError
    Shapes, lengths or numbers of weights that do not fit.
TypeError
    Dtypes that differ, or are not float32 or float64.)";

std::string documented(const char* what, const char* own, const char* states) {
  return std::string(what) + kCommon + own + kReturns + states + kRaises;
}

RnnCell plain_cell(const std::string& nonlinearity) {
  if (nonlinearity == "tanh") return RnnCell::tanh;
  if (nonlinearity == "relu") return RnnCell::relu;
  throw ValueError(str("rnn: nonlinearity must be 'tanh' or 'relu', got '", nonlinearity, "'"));
}
RnnCell gru_cell(const std::string& reset) {
  if (reset == "after") return RnnCell::gru_after;
  if (reset == "before") return RnnCell::gru_before;
  if (reset == "none") return RnnCell::gru_simple;
  throw ValueError(str("gru: reset must be 'after', 'before' or 'none', got '", reset, "'"));
}

/// rnn and gru differ in the name of what chooses the cell.
void bind_cells(Binder& b, const char* op, RnnCell (*choose)(const std::string&), const char* argument,
                const char* value, const char* doc) {
  b.function(
      op,
      [op, choose](const Tensor& x, const std::vector<Tensor>& weights, const MaybeTensor& h0,
                   const MaybeTensor& lengths, int64_t num_layers, bool bidirectional, double dropout, bool training,
                   const std::string& chosen, bool products) {
        RnnOptions o{op, choose(chosen), num_layers, bidirectional, false, false, products, dropout, training};
        const std::vector<Tensor> out = rnn(o, x, weights, or_none(h0), Tensor(), or_none(lengths));
        return std::make_pair(out[0], out[1]);
      },
      "x"_a, "weights"_a, "h0"_a = py::none(), "lengths"_a = py::none(), "num_layers"_a = 1, "bidirectional"_a = false,
      "dropout"_a = 0.0, "training"_a = false, py::arg(argument) = value, "products"_a = false, doc);
}

}  // namespace

void bind_rnn(Binder& b) {
  static const std::string rnn_doc =
      documented(R"(A simple recurrent (Elman) network over a sequence, h' = f(x W_x + b_x + h W_h + b_h).)",
                 R"(nonlinearity : str, default "tanh"
    "tanh" or "relu".
)",
                 R"(h_n : Tensor [num_layers D, N, H]
    The final states.)");
  bind_cells(b, "rnn", plain_cell, "nonlinearity", "tanh", rnn_doc.c_str());
  static const std::string gru_doc = documented(
      R"(A network of gated recurrent units over a sequence, h' = (1 - z) n + z h with r, z = sigmoid(x W_x + b_x + h W_h + b_h).

The blocks of the weights are r, z, n, as PyTorch has them. The course's update gate is 1 - z.)",
      R"(reset : str, default "after"
    "after": n = tanh(x W_x + b_x + r (h W_h + b_h)), as PyTorch. "before": n = tanh(x W_x + b_x + (r h) W_h + b_h), as
    the course. "none": no r, the blocks are z, n.
)",
      R"(h_n : Tensor [num_layers D, N, H]
    The final states.)");
  bind_cells(b, "gru", gru_cell, "reset", "after", gru_doc.c_str());
  static const std::string lstm_doc = documented(
      R"(A network of long short-term memory cells over a sequence: c' = f c + i g, h' = o tanh(c') with i, f, o = sigmoid(a) and
g = tanh(a), a = x W_x + b_x + h W_h + b_h.

The blocks of the weights are i, f, g, o, as PyTorch has them.)",
      R"(c0 : Tensor [num_layers D, N, H], optional
    Initial cell states.
peepholes : bool, default False
    Every set of weights has p [3 H] after the biases: i and f also see p_i c and p_f c, o sees p_o c'.
projection : bool, default False
    Every set of weights ends with W_r [H, P]: h' = (o tanh(c')) W_r (Sak 2014). States h and outputs have P elements
    then, and W_h is [P, 4 H].
)",
      R"(h_n, c_n : Tensor [num_layers D, N, H]
    The final states.)");
  b.function(
      "lstm",
      [](const Tensor& x, const std::vector<Tensor>& weights, const MaybeTensor& h0, const MaybeTensor& c0,
         const MaybeTensor& lengths, int64_t num_layers, bool bidirectional, double dropout, bool training,
         bool peepholes, bool projection, bool products) {
        RnnOptions o{"lstm",     RnnCell::lstm, num_layers, bidirectional, peepholes,
                     projection, products,      dropout,    training};
        const std::vector<Tensor> out = rnn(o, x, weights, or_none(h0), or_none(c0), or_none(lengths));
        return std::make_tuple(out[0], out[1], out[2]);
      },
      "x"_a, "weights"_a, "h0"_a = py::none(), "c0"_a = py::none(), "lengths"_a = py::none(), "num_layers"_a = 1,
      "bidirectional"_a = false, "dropout"_a = 0.0, "training"_a = false, "peepholes"_a = false, "projection"_a = false,
      "products"_a = false, lstm_doc.c_str());
}

}  // namespace fastnn
