import sys, os
sys.path.insert(0,'/work/main')
import pytest
from outbox import capture
from outbox.capture import CaptureTable
from outbox.order import in_record_order
from tests.harness.order import *
from tests.integration.test_order_harness import *
import os
TABLE={'part':PARTITIONED,'plain':PLAIN}[os.environ.get('T','part')]
NAME=os.environ.get('NAME','app')
TRIG={'other':OTHER_ROW,'same':SAME_ROW}[os.environ.get('G','other')].format(name=NAME)
def test_x(db,dsn):
    db.execute(TABLE.encode())
    capture.apply(db, capture.plan(db, [CaptureTable(record_type="t", table="public.t")]))
    db.execute(TRIG.encode())
    for seed in range(12):
        run(dsn, Workload(transactions=40,seed=seed,sessions=int(os.environ.get('S','8'))))
        b=breaks(db)
        if b: break
    print("\n".join(b[:8]))
    xs=changes(db)
    import collections
    recs=collections.defaultdict(list)
    for c in xs: recs[c.record_key].append(c)
    shown=0
    for k,h in recs.items():
        h=in_record_order(h)
        st=None
        for i,c in enumerate(h):
            if c.before!=st:
                print('BREAK in',k,'xid',c.xid)
                for d in xs:
                    if d.xid==c.xid: print('   ',d.id,'cmd',d.command_id,d.record_key,d.operation.value,d.before and str(d.before['v']),d.after and str(d.after['v']),'<---' if d is c else '')
                shown+=1
            st=c.after
            if shown>=2: break
        if shown>=2: break
