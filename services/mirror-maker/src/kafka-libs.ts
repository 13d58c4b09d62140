import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fault } from './error-catalogue.ts'

/**
 * The class path of a directory of jars.
 * @throws KAFKA_JARS_MISSING
 */
export function classPathOf(directory: string): string {
  let jars: readonly string[]
  try {
    jars = readdirSync(directory)
  } catch (cause) {
    throw fault('KAFKA_JARS_MISSING', `${directory} cannot be read`, { cause, details: { directory } })
  }
  if (!jars.some((jar) => jar.startsWith('connect-mirror') && jar.endsWith('.jar'))) {
    throw fault('KAFKA_JARS_MISSING', `${directory} holds no connect-mirror-*.jar`, {
      details: { directory },
    })
  }
  return join(directory, '*')
}
