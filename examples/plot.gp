# plot.gp - the loss curve that train_adding and char_lm write with --csv, as an SVG on standard output:
#
#     gnuplot -e "file='loss.csv'" plot.gp > loss.svg
if (!exists("file")) file = 'loss.csv'
set terminal svg size 800,450 font 'sans,13'
set datafile separator ','
set logscale y
set xlabel 'step'
set ylabel 'loss'
set grid
plot file using 1:2 with dots lc rgb '#9999bb' notitle, \
     file using 1:2 smooth bezier lw 2 lc rgb '#202080' title file
