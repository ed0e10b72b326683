"""Trains scikit-learn's ensembles on the rows that bench/model wrote, and times one row at a time, by processor time.

usage: sklearn.py ROWS ROWS_UNSEEN FEATURES TREES DEPTH < float64: rows, then labels, then the same of the unseen rows
"""
import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score

rows, unseen, features, trees, depth = map(int, sys.argv[1:])
numbers = np.frombuffer(sys.stdin.buffer.read(), dtype="<f8")


def take(n):
    global numbers
    taken, numbers = numbers[:n], numbers[n:]
    return taken


x, y = take(rows * features).reshape(rows, features), take(rows)
ux, uy = take(unseen * features).reshape(unseen, features), take(unseen)
out = {"version": sklearn.__version__}
for name, model in {
    "forest": RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=1, n_jobs=1),
    "boosting": HistGradientBoostingClassifier(max_iter=trees, learning_rate=0.1, max_depth=5, max_leaf_nodes=None,
                                               min_samples_leaf=20, l2_regularization=1, max_bins=63, early_stopping=False),
}.items():
    started = time.process_time()
    model.fit(x, y)
    fit = time.process_time() - started
    single = []
    for i in range(31):
        started = time.thread_time()
        model.predict_proba(ux[i:i + 1])
        single.append(time.thread_time() - started)
    started = time.thread_time()
    scores = model.predict_proba(ux)[:, 1]
    batch = (time.thread_time() - started) / unseen
    out[name] = {"fit": fit, "single": single, "batch": batch, "auc": roc_auc_score(uy, scores)}
json.dump(out, sys.stdout)
