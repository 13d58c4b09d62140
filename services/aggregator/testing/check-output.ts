import type { StreamModel } from '@blockferry/disk-stream/testing'
import { decodeRecord } from '@blockferry/schemas'
import { ModelApplier, type Rig } from './rig.ts'

/**
 * Applies a partition's output from its beginning and checks, after each record, that its resumeInputOffset
 * is true (K4, PS1): every group below it is in the image already. Returns the applier.
 */
export function checkOutput(rig: Rig, kafkaPartition = 0): ModelApplier {
  const applier = new ModelApplier()
  const groups = groupsOf(rig, kafkaPartition)
  for (const record of rig.output(kafkaPartition)) {
    if ('extents' in record) applier.take(record)
    for (const { kafkaOffset, diskId, generation, last } of groups) {
      if (kafkaOffset >= (record.resumeInputOffset ?? 0n)) break
      if (applier.holds(diskId, { generation, sequence: last })) continue
      const claim = `resumeInputOffset ${record.resumeInputOffset} is above offset ${kafkaOffset}`
      throw new Error(`${claim}, whose events of ${diskId} up to ${last} are not in the output yet`)
    }
  }
  return applier
}

/** Where each group of the input ends. */
function groupsOf(rig: Rig, kafkaPartition: number) {
  return rig.cluster.records({ topic: 'writes', kafkaPartition }).flatMap(({ kafkaOffset, value }) => {
    const any = decodeRecord(value)
    if (any.kind !== 'WriteGroup') return []
    const { diskId, firstSequence, events, generation } = any.record
    return [{ kafkaOffset, diskId, generation: generation.number, last: firstSequence + events.length - 1 }]
  })
}

/** True once the output holds everything of the disks. */
export function isDrained(rig: Rig, disks: readonly StreamModel[], kafkaPartition = 0): boolean {
  const sets = rig.sets(kafkaPartition)
  return disks.every(({ diskId, end }) =>
    sets.some(
      (set) =>
        set.diskId === diskId && set.generation.id === end.generationId && set.lastSequence === end.sequence,
    ),
  )
}
