/*
 * Settings from the environment. A variable NAME may be given as NAME_FILE instead: the path of a file that
 * holds the value, as container platforms hand over secrets. What a file holds is never printed.
 */
import type { SettingFault } from './config-fault.ts'
import type { RawSetting } from './flags.ts'
import { environmentName, type OptionTable } from './option-table.ts'

/** Variables of the command line tool, the test runs and the lifecycle, which services leave alone (C3). */
export const sharedEnvironment: readonly string[] = [
  'BLOCKFERRY_CONFIG',
  'BLOCKFERRY_APPLIER_URL',
  'BLOCKFERRY_TAP_AGENT_URL',
  'BLOCKFERRY_MIRROR_MAKER_URL',
  'BLOCKFERRY_TEST_COUNTS',
  'BLOCKFERRY_EXIT_WITH_STDIN',
]

const prefix = 'BLOCKFERRY_'
const fileSuffix = '_FILE'

export interface EnvironmentSource {
  readonly options: OptionTable
  readonly env: Readonly<Record<string, string | undefined>>
  readonly readFile: (path: string) => string
}

/** The settings that the environment holds, by key; every fault is added to `faults`. */
export function readEnvironment(
  source: EnvironmentSource,
  faults: SettingFault[],
): ReadonlyMap<string, RawSetting> {
  const keys = new Map(Object.keys(source.options).map((key) => [environmentName(key), key]))
  const settings = new Map<string, RawSetting>()
  for (const [name, value] of Object.entries(source.env)) {
    if (value === undefined || value === '' || !name.startsWith(prefix)) continue
    const key = keys.get(name)
    const keyOfFile = name.endsWith(fileSuffix) ? keys.get(name.slice(0, -fileSuffix.length)) : undefined
    if (key !== undefined) settings.set(key, { name, value })
    else if (keyOfFile !== undefined)
      takeFile({ key: keyOfFile, name, path: value, source, settings }, faults)
    else if (!sharedEnvironment.includes(name)) faults.push(unknownName(name, value, [...keys.keys()]))
  }
  return settings
}

function takeFile(
  found: {
    readonly key: string
    readonly name: string
    readonly path: string
    readonly source: EnvironmentSource
    readonly settings: Map<string, RawSetting>
  },
  faults: SettingFault[],
): void {
  const { key, name, path, settings, source } = found
  const plainName = name.slice(0, -fileSuffix.length)
  const plain = source.env[plainName]
  if (plain !== undefined && plain !== '') {
    const expected = `either ${plainName} or ${name}, for nobody can tell which one was meant`
    faults.push({ name, value: path, unit: null, expected })
    return
  }
  try {
    // Editors and `echo` end a file with a newline; no setting does.
    const value = source.readFile(path).replace(/\r?\n$/, '')
    settings.set(key, { name, value, shown: `the content of ${path}` })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const expected = `a readable file that holds the value (${reason})`
    faults.push({ name, value: path, unit: null, expected })
    // Its own fault is said: the setting itself is not missing.
    settings.set(key, { name, value: undefined, isFaulty: true })
  }
}

/** A name that no table knows; C3. */
export function unknownName(name: string, value: string, known: readonly string[]): SettingFault {
  return { name, value, unit: null, expected: `a known setting: one of ${known.join(', ')}` }
}
