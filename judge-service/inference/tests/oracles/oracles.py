"""Writes small models with inputs and the outputs that their own libraries give.

    make oracles

Needs the packages of requirements.txt. Seeds are fixed: the same versions on the
same kind of CPU write the same files. `cargo test -p serinus-inference` reads
what is written here and checks our outputs to 1e-5 relative.

Writes, for each model, `NAME.json` (the description), the model file that it
names, and `NAME.expected.json`: inputs (null is a missing value), outputs, and
which library gave them.
"""

import networks
import trees
from writing import write_all

if __name__ == "__main__":
    write_all([*trees.models(), *networks.models()])
