"""Message-passing operations over the incoming edges of one relation.

The only way by which layers move values along edges: plain tensors in and out, any device,
derivatives of any order, and no dgl unless :func:`use_backend` asks for its kernels.
"""

from counterpoint.graph.ops.csr import Csr as Csr
from counterpoint.graph.ops.csr import Transpose as Transpose
from counterpoint.graph.ops.kernels import use_backend as use_backend
from counterpoint.graph.ops.operations import copy_edges as copy_edges
from counterpoint.graph.ops.operations import copy_sum as copy_sum
from counterpoint.graph.ops.operations import edge_dot as edge_dot
from counterpoint.graph.ops.operations import edge_softmax as edge_softmax
from counterpoint.graph.ops.operations import gather_dst as gather_dst
from counterpoint.graph.ops.operations import gather_src as gather_src
from counterpoint.graph.ops.operations import max as max
from counterpoint.graph.ops.operations import mean as mean
from counterpoint.graph.ops.operations import weighted_sum as weighted_sum
from counterpoint.graph.ops.perceptron import edge_perceptron as edge_perceptron
