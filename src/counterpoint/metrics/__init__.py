"""Metric parts and what is made of them: values, chance levels, margins, cluster resamples."""

from counterpoint.metrics.parts import Kind as Kind
from counterpoint.metrics.parts import Parts as Parts
from counterpoint.metrics.parts import check_paired as check_paired
from counterpoint.metrics.parts import read_parts as read_parts
from counterpoint.metrics.parts import write_parts as write_parts
from counterpoint.metrics.resample import resampled_values as resampled_values
from counterpoint.metrics.values import METRICS as METRICS
from counterpoint.metrics.values import Metric as Metric
from counterpoint.metrics.values import chance as chance
from counterpoint.metrics.values import chance_corrected as chance_corrected
from counterpoint.metrics.values import default_margin as default_margin
from counterpoint.metrics.values import metric_named as metric_named
from counterpoint.metrics.values import share_kept as share_kept
from counterpoint.metrics.values import value as value
