/* problem_options.c - every cell, direction, kind of mask and option, in odd sizes. */
#include "problem.h"

#include <stddef.h>

/* size:direction middle mask end, in the order in which options print. */
#define EVERY_MASK(start, end)                                                                                         \
  start end, start ":len" end, start ":mask=left" end, start ":mask=holes" end, start ":mask=rows" end,                \
      start ":mask=right" end
#define EVERY_DIRECTION(size, middle, end)                                                                             \
  EVERY_MASK(size middle, end), EVERY_MASK(size ":back" middle, end), EVERY_MASK(size ":back:timeorder" middle, end),  \
      EVERY_MASK(size ":bi" middle, end), EVERY_MASK(size ":bi=sum" middle, end),                                      \
      EVERY_MASK(size ":bi:back" middle, end)

/* Each function in each place that takes any. */
#define EVERY_FUNCTION(start, end)                                                                                     \
  start "tanh" end, start "sigmoid" end, start "hard_sigmoid" end, start "relu" end, start "linear" end,               \
      start "softsign" end, start "softplus" end, start "elu" end, start "selu" end, start "exponential" end,          \
      start "silu" end, start "gelu" end, start "leaky_relu" end, start "relu6" end, start "mish" end,                 \
      start "hard_silu" end, start "hard_tanh" end, start "log_sigmoid" end, start "affine" end,                       \
      start "thresholded_relu" end, start "scaled_tanh" end, start "celu" end, start "squareplus" end,                 \
      start "soft_shrink" end, start "hard_shrink" end, start "tanh_shrink" end, start "threshold" end,                \
      start "sparse_plus" end, start "sparse_sigmoid" end

/* With the numbers that other frameworks give them, and some that no one does. */
#define EVERY_PARAMETER(start)                                                                                         \
  start "hard_sigmoid(0.2,0.5)", start "elu(0.7)", start "leaky_relu(0.01)", start "affine(0.8,0.1)",                  \
      start "thresholded_relu(0.3)", start "scaled_tanh(1.3,0.7)", start "celu(0.6)", start "squareplus(0.5)",         \
      start "soft_shrink(0.2)", start "hard_shrink(0.2)", start "threshold(0.1,-0.4)"

/* With weights of 16 and of 8 bits. */
#define EVERY_TYPE(start, end) start ":weights=f16" end, start ":weights=bf16" end, start ":weights=int8" end

const char *const problem_option_table[] = {
    EVERY_DIRECTION("lstm:n5t6c7h9", "", ":h0"),
    EVERY_DIRECTION("gru:n4t5c6h11", "", ":h0"),
    EVERY_DIRECTION("gru:n3t7c5h13", ":before", ":h0"),
    EVERY_DIRECTION("rnn:n6t5c3h17", "", ":h0"),
    "lstm:n5t6c7h9:len:zero", /* skipped steps give zeros */
    "lstm:n5t6c7h9:back:mask=holes:zero:h0",
    "gru:n4t5c6h11:bi:mask=left:zero",
    "gru:n4t5c6h11:bi=ave:mask=holes:zero:h0",
    "rnn:n6t5c3h17:bi=separate:len:zero",
    "lstm:n5t6c7h9:bi=mul:h0", /* the other ways to merge */
    "lstm:n5t6c7h9:bi=ave:len",
    "gru:n4t5c6h11:bi=mul:mask=holes:h0",
    "lstm:n5t6c7h9:bi=separate:h0",
    "gru:n4t5c6h11:bi=separate:back:mask=left",
    "rnn:n6t5c3h17:bi=mul:back:timeorder:len:h0",
    "lstm:n3t5c7h9:bi:time:strided:h0", /* layouts */
    "lstm:n3t5c7h9:bi=separate:time:strided:len:h0",
    "lstm:n3t5c7h9:bi=separate:back:strided:h0",
    "lstm:n3t5c7h9:bi=ave:time:strided:mask=holes",
    "gru:n3t5c7h9:bi:back:timeorder:strided:len:h0",
    "gru:n3t5c7h9:time:strided:mask=holes:h0",
    "gru:n3t5c7h9:back:before:nobias:time:strided:len:h0",
    "rnn:n3t5c7h9:bi:nobias:time:strided:h0",
    "lstm:n5t6c7h9:bi:time:mask=holes:zero:h0:slots:restart:tiny",
    "gru:n3t5c7h9:nobias", /* no biases, near nothing, too much */
    "gru:n3t5c7h9:before:nobias:h0",
    "rnn:n3t5c7h9:nobias:h0",
    "gru:n3t5c7h9:h0:tiny",
    "gru:n3t5c7h9:before:h0:big",
    "gru:n3t5c7h9:h0:big",
    "rnn:n3t5c7h9:h0:big",
    "rnn:n3t5c7h9:tiny",
    "gru:n5t12c64h128:tf32",
    "lstm:n3t5c7h9:bi:tf32",
    "lstm:n3t5c7h9l2:bi:h0", /* stacks */
    "lstm:n3t5c7h9l2:bi=sum:len:h0",
    "lstm:n3t5c7h9l3:bi:mask=holes",
    "lstm:n4t5c7h9l3:back:len:h0",
    "lstm:n4t5c7h9l2:back:timeorder:mask=left:h0",
    "lstm:n4t5c7h9l2:bi:back:len:zero:h0",
    "gru:n3t5c7h9l2",
    "gru:n3t5c7h9l3:bi=mul:mask=left:h0",
    "gru:n4t5c7h9l2:back:before:mask=holes:h0",
    "rnn:n3t5c7h9l3:bi=ave:time:strided:len:h0",
    "rnn:n3t5c7h9l2:back:mask=right:zero",
    "lstm:n3t5c7h9:h0:slots", /* pools of states */
    "lstm:n5t6c7h9:h0:slots:restart",
    "lstm:n5t6c7h9:h0:restart",
    "lstm:n5t6c7h9:slots:restart",
    "lstm:n5t1c7h9l2:strided:h0:slots:restart",
    "lstm:n5t6c7h9l2:bi:len:h0:slots:restart",
    "gru:n4t5c6h11:back:mask=holes:h0:slots",
    "gru:n4t5c6h11:bi:strided:len:h0:slots:restart",
    "rnn:n6t5c3h17:mask=left:h0:slots:restart",
    EVERY_FUNCTION("lstm:n3t2c5h7:h0:act=", ":oact=tanh"),
    EVERY_FUNCTION("gru:n3t2c5h7:h0:act=", ""),
    EVERY_FUNCTION("rnn:n3t2c5h7:h0:act=", ""),
    EVERY_FUNCTION("lstm:n3t2c5h7:h0:ract=", ""),
    EVERY_FUNCTION("gru:n3t2c5h7:h0:ract=", ""),
    EVERY_FUNCTION("lstm:n3t2c5h7:h0:oact=", ""),
    EVERY_FUNCTION("dense:n3t2c5h7:act=", ""),
    EVERY_PARAMETER("lstm:n3t4c5h7:h0:act="),
    EVERY_PARAMETER("gru:n3t4c5h7:before:h0:ract="),
    EVERY_PARAMETER("rnn:n3t4c5h7:bi:len:act="),
    EVERY_PARAMETER("lstm:n3t4c5h7:h0:oact="),
    EVERY_PARAMETER("dense:n3t4c5h7:act="),
    "lstm:n3t4c5h7:act=softsign:ract=hard_sigmoid:oact=linear:big",
    "lstm:n3t4c5h7:act=gelu:ract=softplus:oact=elu:tiny",
    "lstm:n3t4c5h7:h0:peephole", /* options, alone and together */
    "lstm:n3t4c5h7:bi:len:h0:peephole",
    "lstm:n3t4c5h7:h0:cifg",
    "lstm:n3t4c5h7:back:mask=holes:cifg",
    "lstm:n3t4c5h7:h0:peephole:cifg",
    "lstm:n3t4c5h7:h0:proj=3",
    "lstm:n3t4c5h7:h0:proj=7",
    "lstm:n5t6c7h33:bi:len:h0:proj=17",
    "lstm:n5t6c7h9l2:bi=sum:strided:h0:proj=4",
    "lstm:n5t6c7h9l3:mask=left:h0:slots:restart:proj=1",
    "lstm:n3t4c5h7:h0:cellclip=0.5",
    "lstm:n3t4c5h7:h0:clip=0.3",
    "lstm:n3t4c5h7:h0:peephole:cellclip=0.25:clip=3:big",
    "gru:n3t4c5h7:h0:clip=0.3",
    "gru:n3t4c5h7:bi:before:len:h0:clip=0.5",
    "rnn:n3t4c5h7:h0:clip=0.4",
    "lstm:n3t4c5h7:h0:norm",
    "lstm:n5t6c7h33:bi:len:h0:norm",
    "lstm:n3t4c5h7:nobias:h0:norm",
    "lstm:n3t4c5h7:h0:norm:tiny",
    "lstm:n3t4c5h7:h0:norm:big",
    "lstm:n3t4c1h1:h0:norm",
    "gru:n3t4c5h7:h0:norm",
    "gru:n5t6c7h33:bi:mask=holes:h0:norm",
    "gru:n3t4c5h7:nobias:h0:norm:clip=0.6",
    "lstm:n3t4c5h7:h0:zoneout=0.1",
    "lstm:n3t4c5h7:h0:zoneoutc=0.4",
    "lstm:n5t6c7h9:bi:len:h0:zoneout=0.3:zoneoutc=0.2",
    "gru:n3t4c5h7:mask=left:h0:zoneout=0.3",
    "gru:n3t4c5h7:before:h0:zoneout=0.15",
    "rnn:n3t4c5h7:h0:zoneout=0.5",
    "lstm:n3t4c5h7:h0:peephole:norm:proj=3:cellclip=1.5:clip=2:zoneout=0.1:zoneoutc=0.2",
    "lstm:n5t6c7h9l2:bi:len:h0:slots:restart:act=softsign:peephole:cifg:norm:proj=5:cellclip=1:clip=2:zoneout=0.1",
    "lstm:n3t4c5h7:h0:head=3", /* a dense layer on top, and alone */
    "lstm:n3t4c5h7:h0:head=11=softmax",
    "lstm:n5t6c7h9:len:h0:head=4=relu",
    "lstm:n5t6c7h9l2:bi:mask=holes:h0:head=5=sigmoid",
    "lstm:n5t6c7h9:back:time:strided:zero:head=3=affine(0.5,0.25)",
    "gru:n4t5c6h11:bi=sum:len:head=1=sigmoid",
    "gru:n4t5c6h11:nobias:head=10=softmax",
    "rnn:n6t5c3h17:time:strided:h0:head=2=gelu",
    "lstm:n3t4c5h7:h0:proj=3:head=2",
    "dense:n1t1c1h1",
    "dense:n3t5c7h9",
    "dense:n3t5c7h9:nobias",
    "dense:n3t5c7h9:time:strided:act=softmax",
    "dense:n5t6c7h33:len:act=relu",
    "dense:n17t9c33h65:act=softmax",
    "dense:n3t5c7h9:act=softmax:big",
    "gru:n1t1c1h1", /* sizes: the smallest, and across vectors, tiles, blocks and what is brought in ahead */
    "rnn:n1t1c1h1",
    "lstm:n1t1c1h1:bi",
    "gru:n2t3c4h16",
    "gru:n2t3c4h31:before",
    "gru:n2t3c4h33:h0",
    "rnn:n2t3c4h33:h0",
    "gru:n1t3c5h65",
    "rnn:n1t2c3h257",
    "gru:n17t2c3h7:h0",
    "rnn:n33t2c3h5",
    "gru:n9t17c3h5:len:h0",
    "gru:n3t129c2h3:len",
    "rnn:n2t65c2h3:back:mask=holes",
    "lstm:n33t19c3h5:len:h0",
    "lstm:n33t19c3h5:bi:mask=holes",
    "lstm:n129t3c2h3:len",
    "gru:n8t28c28h128:len",
    "lstm:n17t40c33h48:bi:len:h0",
    "gru:n1t20c156h156:back:before:h0",
    "rnn:n7t11c39h156:mask=left",
    EVERY_TYPE("lstm:n1t1c1h1", ""), /* weights of 16 bits: cells, options, directions, stacks, heads; and sizes */
    EVERY_TYPE("lstm:n3t5c7h9:h0", ""),
    EVERY_TYPE("gru:n3t5c7h9:h0", ""),
    EVERY_TYPE("gru:n3t5c7h9:before:h0", ""),
    EVERY_TYPE("rnn:n3t5c7h9:h0", ""),
    EVERY_TYPE("dense:n3t5c7h9:act=softmax", ""),
    EVERY_TYPE("lstm:n3t5c7h9:h0", ":tiny"),
    EVERY_TYPE("gru:n3t5c7h9:h0", ":big"),
    EVERY_TYPE("lstm:n3t4c5h7:h0:peephole:proj=3:cellclip=1:clip=2:zoneout=0.1:zoneoutc=0.2", ""),
    EVERY_TYPE("lstm:n3t4c5h7:h0:act=softsign:cifg:norm", ""),
    EVERY_TYPE("gru:n3t4c5h7:h0:norm:zoneout=0.2", ""),
    EVERY_TYPE("lstm:n5t6c7h9:bi:len:h0:proj=5", ""),
    EVERY_TYPE("gru:n4t5c6h11:bi=sum:before:mask=holes:h0", ""),
    EVERY_TYPE("rnn:n6t5c3h17:back:len:zero:h0:slots:restart", ""),
    EVERY_TYPE("lstm:n5t6c7h9l2:bi:mask=holes:h0:head=5=sigmoid", ""),
    EVERY_TYPE("gru:n3t5c7h9l3:back:time:strided:len:h0:head=2", ""),
    EVERY_TYPE("lstm:n9t3c33h31:nobias:h0", ""),
    EVERY_TYPE("gru:n17t3c15h33:h0", ""),
    EVERY_TYPE("rnn:n2t33c16h40:h0", ""),
    EVERY_TYPE("lstm:n1t9c40h156:h0", ""),
    EVERY_TYPE("lstm:n6t12c64h128", ""),
    NULL,
};
