import { provisionings, type Provisioning } from '@blockferry/disk-stream'
import { parseByteSize, type RuleFault } from '@blockferry/runtime/service'

/** One disk of the configuration. */
export interface ConfiguredDisk {
  readonly diskId: string
  readonly source: string
  /** A missing source is created with this size; null: it must be there. */
  readonly sizeBytes: number | null
  readonly provisioning: Provisioning
  readonly groupId: string | null
}

/** Ids are Kafka keys, directory names and NBD export names. */
const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/
const keys = ['id', 'source', 'size', 'provisioning', 'group']

/** Reads the items of the setting `disks`; all faults are told at once. */
export function parseDiskList(items: readonly string[]): {
  readonly disks: readonly ConfiguredDisk[]
  readonly faults: readonly RuleFault[]
} {
  const faults: RuleFault[] = []
  const complain = (value: string | null, expected: string) => faults.push({ value, expected })
  const disks: ConfiguredDisk[] = []
  for (const fields of fieldsOf(items, complain)) {
    const disk = diskOf(fields, complain)
    if (disk !== null) disks.push(disk)
  }
  for (const [index, { diskId, source }] of disks.entries()) {
    const before = disks.slice(0, index)
    if (before.some((other) => other.diskId === diskId)) complain(diskId, 'each id once')
    if (before.some((other) => other.source === source)) complain(source, 'each source once')
  }
  return { disks, faults }
}

type Complain = (value: string | null, expected: string) => void
type Fields = Readonly<Record<string, unknown>>

function fieldsOf(items: readonly string[], complain: Complain): readonly Fields[] {
  const text = items.join(';').trim()
  if (!text.startsWith('[')) return items.map((item) => fieldsOfItem(item, complain))
  try {
    const parsed: unknown = JSON.parse(text)
    if (Array.isArray(parsed) && parsed.every((entry) => typeof entry === 'object' && entry !== null)) {
      return parsed as Fields[]
    }
  } catch {
    // Said below, as for a JSON text of another shape.
  }
  complain(text, 'a JSON array of objects with id and source')
  return []
}

function fieldsOfItem(item: string, complain: Complain): Fields {
  const fields: Record<string, string> = {}
  for (const pair of item.split(',')) {
    const at = pair.indexOf('=')
    if (at <= 0) complain(pair, 'key=value pairs separated by commas')
    else fields[pair.slice(0, at).trim()] = pair.slice(at + 1).trim()
  }
  return fields
}

function diskOf(fields: Fields, complain: Complain): ConfiguredDisk | null {
  for (const key of Object.keys(fields)) {
    if (!keys.includes(key)) complain(key, `one of ${keys.join(', ')}`)
  }
  const { group = null, id, provisioning = 'thin', size = null, source } = fields
  const sizeBytes = typeof size === 'number' ? size : typeof size === 'string' ? parseByteSize(size) : null
  const known = provisionings.find((candidate) => candidate === provisioning)
  const idOk = typeof id === 'string' && idPattern.test(id)
  const groupOk = group === null || (typeof group === 'string' && idPattern.test(group))
  const sizeOk = size === null || (sizeBytes !== null && sizeBytes > 0 && sizeBytes % 512 === 0)
  if (!idOk) complain(shown(id), 'an id of letters, digits, dots, dashes and underscores')
  if (typeof source !== 'string' || source === '') complain(shown(source), 'source=PATH')
  if (known === undefined) complain(shown(provisioning), `one of ${provisionings.join(', ')}`)
  if (!groupOk) complain(shown(group), 'a group of letters, digits, dots, dashes and underscores')
  if (!sizeOk) complain(shown(size), 'a size in bytes that is a multiple of 512: 1G, 512M')
  if (!idOk || typeof source !== 'string' || source === '' || known === undefined || !groupOk || !sizeOk) {
    return null
  }
  return { diskId: id, source, sizeBytes, provisioning: known, groupId: group }
}

function shown(value: unknown): string | null {
  return value === undefined ? null : typeof value === 'string' ? value : JSON.stringify(value)
}
