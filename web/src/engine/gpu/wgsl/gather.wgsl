// The examples of the batch as the first layer wants them: channels inside, in vectors of four, and for a convolution
// the K × K patch around each pixel. One invocation a vector.
@group(0) @binding(1) var<storage, read> examples: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = id.x + id.y * groups.x * 64;
  let pixel = at / $OUT;
  let image = pixel / ($HEIGHT * $WIDTH);
  if (image >= step.n) { return; }
  let first = step.index[image] * ($CHANNELS * $HEIGHT * $WIDTH);
  var v = vec4f();
  for (var j = 0u; j < 4; j++) {
    let e = at % $OUT * 4 + j;
    let tap = e / $CHANNELS;
    // Left of and above the image, the unsigned difference is huge.
    let py = pixel / $WIDTH % $HEIGHT + tap / $K - $EDGE;
    let px = pixel % $WIDTH + tap % $K - $EDGE;
    if (tap < $K * $K && py < $HEIGHT && px < $WIDTH) {
      v[j] = examples[first + (e % $CHANNELS * $HEIGHT + py) * $WIDTH + px];
    }
  }
  y[at] = v;
}
