import type { JudgeContext, Verdict } from '../apply-rule.ts'
import { judge } from '../apply-rule.ts'
import type { FoldedSet } from '../folding-run.ts'
import type { Lineage } from '../lineage.ts'
import { accept, emptyLineage, lineageFromJson, lineageToJson } from '../lineage.ts'
import type { Position } from '../position.ts'
import { modelSite } from './model-source.ts'
import { ByteModel } from './stream-model.ts'

/** An applier, reduced to the apply rule and a byte array. */
export class ModelTarget {
  readonly image: ByteModel
  lineage: Lineage = emptyLineage
  /** True between the start of a resync and its end: no image is offered then. */
  resyncing = true
  accepted = 0
  readonly counts = { duplicate: 0, 'stale-writer': 0 }

  constructor(bytes: Buffer) {
    this.image = new ByteModel(bytes)
  }

  get applied(): Position | null {
    return this.lineage.applied
  }

  take(set: FoldedSet, context: Partial<JudgeContext> = {}): Verdict {
    const verdict = judge(this.lineage, set, {
      descriptor: { ownerSite: modelSite, generation: 0, generationId: '' },
      ownerWaitExpired: false,
      ...context,
    })
    if (verdict.kind === 'drop') this.counts[verdict.reason] += 1
    if (verdict.kind !== 'accept') return verdict
    this.image.applySet(set.extents, Buffer.concat(set.data))
    // A restart at any place must not change what comes after.
    this.lineage = lineageFromJson(lineageToJson(accept(this.lineage, set)))
    if (verdict.transition === 'resync') this.resyncing = true
    if (set.mark?.kind === 'resyncDone') this.resyncing = false
    this.accepted += 1
    return verdict
  }
}
