// Softmax cross-entropy of a batch: its mean, how many were right, and the gradient of the logits. One workgroup, an
// invocation a row at a time; the sum over rows has one order, so the same batch gives the same bits.
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> d: array<f32>;
@group(0) @binding(4) var<storage, read_write> scores: array<vec2f>;
var<workgroup> sums: array<vec2f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) l: u32) {
  let n = step.n;
  var sum = vec2f();
  for (var row = l; row < n; row += 64) {
    let first = row * $STRIDE;
    let label = labels[step.index[row]];
    var most = logits[first];
    var best = 0u;
    for (var c = 1u; c < $CLASSES; c++) {
      let v = logits[first + c];
      if (v > most) { most = v; best = c; }
    }
    var total = 0.0;
    for (var c = 0u; c < $CLASSES; c++) { total += exp(logits[first + c] - most); }
    for (var c = 0u; c < $CLASSES; c++) {
      d[first + c] = (exp(logits[first + c] - most) / total - select(0.0, 1.0, c == label)) / f32(n);
    }
    sum += vec2f(log(total) + most - logits[first + label], select(0.0, 1.0, best == label));
  }
  sums[l] = sum;
  workgroupBarrier();
  if (l == 0) {
    for (var i = 1u; i < 64; i++) { sum += sums[i]; }
    scores[step.slot] = vec2f(sum.x / f32(n), sum.y);
  }
}
