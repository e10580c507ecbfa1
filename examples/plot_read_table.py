"""
Reading a table of a laboratory
===============================

Read a text file as it comes: with a title, a row of units, decimal commas, words for missing values
and limits of detection.
"""

# %%
# The file
# --------
# The example writes the Meuse survey in the form of an export with semicolons. The reader needs no
# options for it.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from sptgnn_sklearn.datasets import load_meuse
from sptgnn_sklearn.plotting import plot_map
from sptgnn_sklearn.readers import read_table, replace_censored

meuse = load_meuse()
table = meuse.data[["x", "y", "elev"]].assign(om=meuse.target)
low = table["om"] < 3
text = table.astype(str).replace({"elev": {table["elev"].astype(str)[0]: "n.a."}})
text.loc[low, "om"] = "<3"
lines = text.to_csv(sep=";", index=False).replace(".", ",").replace("n,a,", "n.a.").splitlines()
names = lines[0].replace("elev", "Elevation (m)")
lines = ["# export of the laboratory", names, "m;m;m;%", *lines[1:]]

path = Path(tempfile.mkdtemp()) / "export.csv"
path.write_text("\n".join(lines), encoding="utf-8")
print("\n".join(lines[:5]))

# %%
# The table
# ---------
# What was guessed or left out is in the attribute ``notes``, and units are in ``units``. Values
# below a limit of detection stay text until a rule replaces them.

survey = read_table(path)
print(*survey.attrs["notes"], survey.attrs["units"], sep="\n")
survey["om"] = replace_censored(survey["om"], "half")
print(survey.dtypes)

# %%
# The samples
# -----------

axes = plot_map(survey[["x", "y"]], survey["om"], crs=meuse.crs, label="organic matter (%)")
axes.set_title(f"{int(low.sum())} of {len(survey)} samples below the limit")
plt.show()
