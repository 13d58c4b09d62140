import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Templates of brokers and MirrorMaker: the same directory in a clone and in an image. */
export const kafkaTemplates = join(fileURLToPath(new URL('../../../', import.meta.url)), 'deploy', 'kafka')
