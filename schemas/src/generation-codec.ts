import type { Generation, GenerationBase, GenerationReason, Position, Stamp } from '@blockferry/disk-stream'
import type { AvroReader } from './avro-reader.ts'
import type { AvroWriter } from './avro-writer.ts'

/** In the order of the schema's symbols, which never changes within a version. */
const reasons = [
  'initial',
  'continuity-lost',
  'resync',
  'owner-changed',
] as const satisfies readonly GenerationReason[]
const baseKinds = ['none', 'full', 'position'] as const satisfies readonly GenerationBase['kind'][]

export function writePosition(to: AvroWriter, position: Position): void {
  to.uint('generation', position.generation)
  to.fixedHex('generation id', position.generationId, 16)
  to.uint('sequence', position.sequence)
  to.uint32('chain', position.chain)
}

export function readPosition(from: AvroReader): Position {
  return {
    generation: from.uint('generation'),
    generationId: from.fixedHex(16),
    sequence: from.uint('sequence'),
    chain: from.uint32('chain'),
  }
}

export function writeStamp(to: AvroWriter, stamp: Stamp): void {
  to.id('agent id', stamp.agentId)
  to.uint('stamp counter', stamp.counter)
}

export function readStamp(from: AvroReader): Stamp {
  return { agentId: from.id('agent id'), counter: from.uint('stamp counter') }
}

export function writeGeneration(to: AvroWriter, generation: Generation): void {
  to.uint('generation number', generation.number)
  to.fixedHex('generation id', generation.id, 16)
  to.id('owner site', generation.ownerSite)
  to.choice('generation reason', reasons, generation.reason)
  to.choice('generation base', baseKinds, generation.base.kind)
  if (generation.base.kind === 'position') writePosition(to, generation.base.position)
  to.nullable(generation.predecessor, (position) => writePosition(to, position))
  writeStamp(to, generation.stamp)
}

export function readGeneration(from: AvroReader): Generation {
  return {
    number: from.uint('generation number'),
    id: from.fixedHex(16),
    ownerSite: from.id('owner site'),
    reason: from.choice('generation reason', reasons),
    base: readBase(from),
    predecessor: from.nullable('predecessor', () => readPosition(from)),
    stamp: readStamp(from),
  }
}

function readBase(from: AvroReader): GenerationBase {
  const kind = from.choice('generation base', baseKinds)
  return kind === 'position' ? { kind, position: readPosition(from) } : { kind }
}
