/* training_again.c - the products that forward gave its cell, of all rows once more, ahead of the steps backward.
 *
 *   gates (M, K) = [h | x] (M, O + F) @ [R; W] (O + F, K)      one product: all h are there, so nothing is sequential
 *
 * for recompute, whose reserve has no products, and for layer_norm, whose forward used their place for other things;
 * then x @ W and h @ R apart. One product does for all gates that are given the same rows: with recurrent_dropout each
 * has its own, and with reset_before z and r are given [h | x] and the gate h [r h | x]. */
#include "training.h"

/* Gates from `gate` on, of so many, that are given the same rows. */
static int alike(const rondo_cuda_back *back, int gate, int gates) {
  if (back->pass->recurrent_mask) return 1;
  if (back->pass->layer->reset_before) return gate < 2 ? 2 : 1;
  return gates;
}

/* The rows [h | x] that a gate was given: those that are kept, or scratch.masked. */
static rondo_status rows_for(const rondo_cuda_back *back, int gate, const float **rows) {
  const rondo_cuda_kept *kept = &back->kept;
  int saved = back->pass->layer->reset_before && gate < 2;
  rondo_const_rows h = {kept->hx, back->hx_row};
  if (saved) h = (rondo_const_rows){kept->h, back->pass->output_size};
  int copied = saved || back->pass->recurrent_mask;
  *rows = copied ? back->scratch.masked : kept->hx;
  return copied ? rondo_cuda_mask_all(back, h, gate) : RONDO_OK;
}

/* Columns `first` to `first` + count - 1 of to (M, all) = the columns of rows from `begin` on @ matrix (inner, all). */
static rondo_status product(const rondo_cuda_back *back, const float *rows, int begin, int inner, const float *matrix,
                            int first, int count, int all, float *to) {
  rondo_cuda_operand a = {rows + begin, back->hx_row, 0}, b = {matrix + first, all, 0};
  return rondo_cuda_multiply(back, back->rows, count, inner, a, b, 0, (rondo_cuda_matrix){to + first, all});
}

rondo_status rondo_cuda_products_again(const rondo_cuda_back *back) {
  const rondo_layer *layer = back->pass->layer;
  const rondo_cuda_scratch *s = &back->scratch;
  int gates = rondo_cuda_columns(layer), units = back->pass->hidden_size, all = gates * units;
  int output = (int)rondo_cuda_h_columns(layer), inputs = back->pass->input_size;
  const float *w = back->params.at[RONDO_KERNEL], *r = output ? back->params.at[RONDO_RECURRENT_KERNEL] : w, *rows;
  if (s->matrix) r = s->matrix;
  for (int gate = 0, count; gate < gates; gate += count) {
    count = alike(back, gate, gates);
    TRY(rows_for(back, gate, &rows));
    int first = gate * units, columns = count * units;
    if (layer->layer_norm) {
      TRY(product(back, rows, output, inputs, w, first, columns, all, s->gates));
      TRY(product(back, rows, 0, output, r, first, columns, all, s->recurrent));
    } else {
      TRY(product(back, rows, 0, output + inputs, r, first, columns, all, s->gates));
    }
  }
  return RONDO_OK;
}
