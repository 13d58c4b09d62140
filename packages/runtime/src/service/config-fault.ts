import { catalogue } from '../error-catalogue.ts'
import { Fault } from '../errors.ts'

/** One thing wrong with the configuration. */
export interface SettingFault {
  /** As the person wrote it: the flag, the variable, or the key in the file. */
  readonly name: string
  /** The value found; null when it is missing. */
  readonly value: string | null
  readonly unit: string | null
  readonly expected: string
}

function lineOf(fault: SettingFault): string {
  const unit = fault.unit === null ? '' : ` (${fault.unit})`
  const found = fault.value === null ? 'is missing' : `is ${JSON.stringify(fault.value)}`
  return `${fault.name} ${found}; expected ${fault.expected}${unit}`
}

/** Every fault of a configuration at once. The process ends with status 78 (EX_CONFIG). */
export class ConfigFault extends Fault {
  override readonly name = 'ConfigFault'
  readonly faults: readonly SettingFault[]

  constructor(service: string, faults: readonly SettingFault[]) {
    super('CONFIG_INVALID', `${service}: ${faults.map(lineOf).join('\n  ')}`, {
      nextCommand: catalogue.CONFIG_INVALID.nextCommand,
      details: { faults },
    })
    this.faults = faults
  }
}

/** `--help` was asked for: not an error, the text is printed and the process ends with status 0. */
export class HelpRequested extends Error {
  override readonly name = 'HelpRequested'
  readonly text: string

  constructor(text: string) {
    super('help requested')
    this.text = text
  }
}
