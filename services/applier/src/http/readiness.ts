import type { Readiness } from '@blockferry/runtime/service'
import type { Applier } from '../applier.ts'

/** Ready while the mirrored topic is read and no disk is HALTED; `topicsWait`: why the topics are not there yet. */
export function applierReadiness(applier: Applier, topicsWait: string | null): Readiness {
  const { volume } = applier
  const reasons: string[] = []
  if (topicsWait !== null) reasons.push(`the topics cannot be checked yet: ${topicsWait}`)
  if (volume.receiveTrouble !== null) reasons.push(`nothing is received: ${volume.receiveTrouble}`)
  if (volume.cursors.size === 0) reasons.push('the mirrored updates are not read yet')
  for (const disk of volume.disks.values()) {
    const { diskId, halt } = disk
    if (halt === null) continue
    const { code, message, nextCommand } = halt
    reasons.push(`disk ${diskId} is HALTED (${code}): ${message}; next: ${nextCommand}`)
  }
  return { ready: reasons.length === 0, reasons }
}
