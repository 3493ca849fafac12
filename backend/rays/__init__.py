"""The engine on Ray: visitors stay in one process, forward passes go to replicas on any number of machines.

``engine`` is what the page talks to. ``courier`` stands for the thread that would decode here, ``resume`` carries a
run over from a replica that died, ``cluster`` starts or finds Ray, ``replica`` is what runs on the other side. Only
``cluster`` and ``replica`` know Ray, an optional extra: everything else works, and is tested, without it.
"""
