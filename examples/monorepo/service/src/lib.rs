//! The last value of every sensor, kept from the frames that arrive.

use std::collections::BTreeMap;

/// The last value of every sensor.
#[derive(Debug, Default)]
pub struct Readings(BTreeMap<u8, u16>);

impl Readings {
    /// Takes a frame in. One with a wrong checksum changes nothing and gives `false`.
    pub fn accept(&mut self, frame: [u8; 4]) -> bool {
        let [sensor, high, low, sum] = frame;
        let right = sensor.wrapping_add(high).wrapping_add(low) == sum;
        if right {
            self.0.insert(sensor, u16::from_be_bytes([high, low]));
        }
        right
    }

    /// The last value of a sensor.
    pub fn last(&self, sensor: u8) -> Option<u16> {
        self.0.get(&sensor).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Readings;

    #[test]
    fn the_last_value_is_kept() {
        let mut readings = Readings::default();
        assert!(readings.accept([0x07, 0x01, 0xf4, 0xfc]));
        assert!(!readings.accept([0x07, 0x01, 0xf5, 0xfc]));
        assert_eq!(readings.last(7), Some(500));
        assert_eq!(readings.last(8), None);
    }
}
