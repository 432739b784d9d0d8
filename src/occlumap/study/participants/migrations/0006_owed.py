from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("participants", "0005_launched"),
    ]

    operations = [
        migrations.AddField(
            model_name="participant",
            name="owed",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
    ]
