//! Pictures of places that are none: hills under a sky. They have few colours, so that a screenshot of them has few
//! bytes.

/// Red, green and blue.
pub(super) type Colour = [u8; 3];

/// What a landscape is made of.
pub(super) struct Landscape {
    /// The sky at its top and at its bottom.
    pub(super) sky: [Colour; 2],
    pub(super) sun: Sun,
    /// From the farthest to the nearest.
    pub(super) hills: [Colour; 3],
    /// Where the hills are on their waves, so that no two pictures have the same.
    pub(super) phase: f64,
}

/// The sun, or the moon, in parts of the width and the height.
pub(super) struct Sun {
    pub(super) colour: Colour,
    pub(super) x: f64,
    pub(super) y: f64,
}

/// The size of a picture in pixels.
const WIDTH: u32 = 1440;
const HEIGHT: u32 = 960;

/// The bands of the sky: a smooth one has as many bytes as all else.
const BANDS: f64 = 12.0;
/// Where the sky ends, in parts of the height.
const HORIZON: f64 = 0.7;
/// The radius of the sun, in parts of the height.
const RADIUS: f64 = 0.09;
/// The middle of each ridge and how high its waves are, in parts of the height, and how many waves go across.
const RIDGES: [(f64, f64, f64); 3] = [(0.56, 0.09, 1.6), (0.70, 0.06, 2.3), (0.86, 0.05, 1.1)];

impl Landscape {
    /// The picture as a file of the form PPM.
    pub(super) fn ppm(&self) -> Vec<u8> {
        let mut file = format!("P6 {WIDTH} {HEIGHT} 255\n").into_bytes();
        for row in 0..HEIGHT {
            for column in 0..WIDTH {
                let x = f64::from(column) / f64::from(WIDTH);
                let y = f64::from(row) / f64::from(HEIGHT);
                file.extend(self.pixel(x, y));
            }
        }
        file
    }

    /// The nearest hill that covers the place, else the sun, else the sky.
    fn pixel(&self, x: f64, y: f64) -> Colour {
        let hills = RIDGES.iter().zip(self.hills).enumerate().rev();
        for (index, (&(middle, height, count), colour)) in hills {
            let phase = self.phase * (1.0 + index as f64);
            // A second wave, shorter and lower, makes ridges of what would be a sine.
            let wave = |count: f64| (x * count * std::f64::consts::TAU + phase).sin();
            if y > middle - height * (wave(count) + 0.4 * wave(count * 2.7)) {
                return colour;
            }
        }
        let aspect = f64::from(WIDTH) / f64::from(HEIGHT);
        if ((x - self.sun.x) * aspect).hypot(y - self.sun.y) < RADIUS {
            return self.sun.colour;
        }
        let depth = (y / HORIZON * BANDS).floor() / BANDS;
        let [top, bottom] = self.sky;
        std::array::from_fn(|channel| {
            let (top, bottom) = (f64::from(top[channel]), f64::from(bottom[channel]));
            (top + (bottom - top) * depth.min(1.0)) as u8
        })
    }
}
